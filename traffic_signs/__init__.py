"""Shared basics: classes, pictures, files, progress and errors. Imports no other folder of this project."""
