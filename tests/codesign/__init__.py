"""Tests of networks and machines chosen together."""
