"""Stage 6: scores, skill against naive with a significance test, facts about free runs, the leaderboard."""
