"""The pages, a module for each subject. A page asks, and tells its template what to show."""
