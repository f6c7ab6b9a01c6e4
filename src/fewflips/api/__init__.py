"""What `import fewflips` and the command line offer: one module per task, composing the floors below."""
