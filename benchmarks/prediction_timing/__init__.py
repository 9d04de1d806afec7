"""What benchmarks/predict.py measures with."""
