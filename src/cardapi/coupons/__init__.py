"""Coupons outside the core: the codes of bearer coupons, the words that name a coupon, and what is recorded of codes and stock.

A coupon on a card is a lot of the card's account (decision 0019); here is only what is not on a card.
"""
