"""Experiments that take minutes: chapters of part II show what they found, for three seeds and more.

record      an experiment and its cases; what was found, kept as files beside the modules
"""
