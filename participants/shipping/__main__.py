"""Runs the shipping service: ``python -m participants.shipping serve|migrate``."""

from participants.kit.command import command_line
from participants.shipping.handlers import participant

if __name__ == "__main__":
    command_line(participant(), "shipping")()
