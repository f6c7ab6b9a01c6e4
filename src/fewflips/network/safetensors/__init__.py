"""Folders of Hugging Face models whose weights are quantized and stored as safetensors."""
