"""Networks for the classifier, a file each: the name of the file is the name of the architecture.

A file defines `build(num_classes, **arguments)`, which returns a module that maps normalised images, float [n, 3, h,
w], to logits [n, num_classes]; `docs/your-own-model.md` walks through one. Nothing else needs to know of it.
"""
