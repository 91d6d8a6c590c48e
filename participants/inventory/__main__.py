"""Runs the inventory service: ``python -m participants.inventory serve|migrate``."""

from participants.inventory.handlers import participant
from participants.kit.command import command_line

if __name__ == "__main__":
    command_line(participant(), "inventory")()
