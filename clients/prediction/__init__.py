"""The signs of photographs and videos, found by a running server: answers, and copies with the signs drawn in."""
