"""Copies of a knowledge base on other hosts, a version at a time."""
