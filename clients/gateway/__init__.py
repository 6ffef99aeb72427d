"""The REST gateway: signs over HTTP and JSON, and a web page."""
