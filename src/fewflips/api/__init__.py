"""What `import fewflips` and the command line offer: one module a task, which composes the floors below."""
