"""What theory says before anything is trained: kernels, dynamics, and how to solve with them on
grids.
"""
