"""What is put before a network: pictures, phantoms, brains, scenes, solids, molecules, files."""
