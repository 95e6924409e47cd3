"""What can be said at each level: the target, the instruction table and the four dialects.

Imports nothing of ours from the other folders.
"""
