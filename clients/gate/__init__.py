"""`signs export gate`: asks champion and challenger on one Triton server and has `export.gate` judge the answers."""
