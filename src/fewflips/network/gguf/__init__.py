"""GGUF files, as llama.cpp and other runtimes of ggml read them."""
