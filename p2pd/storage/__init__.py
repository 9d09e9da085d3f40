"""What is kept on disk: the home's folder, lock and key file, and the two stores on SQLite.

Knows no network and no chat: rows come from `p2pd.store`, and go back as they were.
"""
