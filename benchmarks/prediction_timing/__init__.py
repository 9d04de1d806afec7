"""Parts that benchmarks/predict.py measures with."""
