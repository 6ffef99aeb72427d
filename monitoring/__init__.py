"""Watches what is served: rules, alerts and dashboards for Prometheus and Grafana, and the drift exporter."""
