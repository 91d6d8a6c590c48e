"""Who looks at the pages: sign-in, sessions, and what stands in every form."""
