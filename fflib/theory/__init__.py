"""What theory says before anything is trained: kernels, dynamics, how to solve with them."""
