"""The steps that come with fewflips."""
