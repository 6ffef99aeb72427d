"""`signs export tune`: measures on a real server how a model is best served on this machine."""
