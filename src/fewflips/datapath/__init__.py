"""Register-transfer level: the arithmetic units of an accelerator as Verilog, with testbenches."""
