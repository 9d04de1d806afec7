"""Killing and restarting predictions; see benchmarks/predict_kills.py.

inputs        images and a detector, made for it
process_tree  the command as a group of processes that can be killed
killed_run    one folder of predictions, killed and restarted until it is whole, and its counts
"""
