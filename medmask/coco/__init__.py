"""COCO annotation files: the one reader of them, and all that can be wrong with them."""
