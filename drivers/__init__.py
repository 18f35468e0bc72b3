"""Devices and their wires. Knows neither the domain (`fsm`) nor the process (`vendingd`)."""
