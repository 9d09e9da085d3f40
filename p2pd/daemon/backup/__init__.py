"""Backups: one sealed file that holds a home, made beside a running daemon or without one."""
