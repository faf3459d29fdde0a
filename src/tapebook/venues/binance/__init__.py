"""Binance spot, USD-M and COIN-M: depth, trades and tickers over WebSocket, snapshots over REST."""
