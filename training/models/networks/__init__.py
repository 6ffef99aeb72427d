"""Networks for the classifier, one per file; the file's name is the name of the architecture.

A file defines `build(num_classes, **arguments)`, which returns a module that maps normalised images, float [n, 3, h,
w], to logits [n, num_classes]. No registration is needed; `docs/your-own-model.md` has an example.
"""
