"""The experiments of Table 1 and those after it: protocol, records, checkpoints, and one module an
experiment.
"""
