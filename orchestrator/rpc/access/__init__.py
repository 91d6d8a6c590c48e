"""Who calls, and what that caller may do: one policy file, tokens and certificates, and a guard around every RPC."""
