"""Weighing without a port: bytes to frames, frames to readings, readings to weighings; values in, values out."""
