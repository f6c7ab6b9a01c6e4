"""What one operand port sees, cycle by cycle, and its flips."""
