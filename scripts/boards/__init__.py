"""The dashboards as values, and how they become Grafana's JSON."""
