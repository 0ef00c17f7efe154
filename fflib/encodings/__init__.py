"""What people put in front of a network today, and activations that do what an encoding does."""
