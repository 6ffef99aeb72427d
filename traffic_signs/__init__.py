"""What every part stands on: the classes, the pictures, files, progress and errors. It imports nothing of ours."""
