"""What tracking ids stand for, who follows that, and which deletions wait for those who do."""
