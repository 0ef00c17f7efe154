"""What an instrument makes of a signal before it is compared: scanner, camera, microscope, solid,
derivatives.
"""
