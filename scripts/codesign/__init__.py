"""Accelerator and network chosen together: best machines, and what each network and order costs on them."""
