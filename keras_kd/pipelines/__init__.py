"""Whole programs: teach, distill, export, sweep, rerun. Options become a plan of plain objects
here.
"""
