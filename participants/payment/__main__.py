"""Runs the payment service: ``python -m participants.payment serve|migrate``."""

from participants.kit.command import command_line
from participants.payment.handlers import participant

if __name__ == "__main__":
    command_line(participant(), "payment")()
