"""Training and judging detectors on real mammograms; see benchmarks/detectors.py.

cells         what there is to train: method, benchmark, start, seed, fold
runner        the processes of the cells, several at a time
order         what such a process is told, and the files that it leaves
training      the process itself, for detectors that Detectron2 can run
budget        the minutes of a training, and the learning rate along them
core_time     the clock of these minutes, which stands still while others have the cores
"""
