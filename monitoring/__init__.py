"""Monitoring of the service: Prometheus rules and alerts, Grafana dashboards, and two exporters."""
