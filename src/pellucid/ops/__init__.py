"""Mathematics: tensors in, tensors out; no parameters and no files. Ops take (B, H, W, C)."""
