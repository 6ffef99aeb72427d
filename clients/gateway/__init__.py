"""The REST gateway: signs over plain HTTP and JSON, for whoever has no gRPC, and a page for people."""
