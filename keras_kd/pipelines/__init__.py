"""Whole programs: teach, distill, export, sweep, rerun. Here options are resolved into a plan of
plain objects.
"""
