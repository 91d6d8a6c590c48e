"""What a million ended and a hundred thousand waiting sagas cost, and how soon ten thousand of a dead node go on."""
