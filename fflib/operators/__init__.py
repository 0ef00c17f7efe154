"""What an instrument makes of a signal: scanner, camera, microscope, solid, derivatives."""
